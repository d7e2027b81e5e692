// A form made from a JSON Schema, as this platform writes them: `makeForm(schema, changed)` gives an object with `element`,
// `get()` for the value as it stands, `set(value)`, and `find(path)` for the part that an error names (`items[0].price`).
"use strict";

const fieldsOf = (() => {
  let count = 0;

  function build(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key in element && key !== "list") element[key] = value;
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  // -- schemas ---------------------------------------------------------------------------------------------------------

  function resolve(schema, root) {
    while (schema.$ref) schema = root.$defs?.[schema.$ref.replace("#/$defs/", "")] ?? {};
    return schema;
  }

  function alternatives(schema, root) {
    const union = schema.anyOf ?? schema.oneOf;
    if (union) return union.flatMap((one) => alternatives(one, root));
    if (schema.$ref) return alternatives(resolve(schema, root), root);
    if (Array.isArray(schema.type)) return schema.type.map((type) => ({ ...schema, type }));
    return [schema];
  }

  function kind(schema) {
    if ("enum" in schema || "const" in schema) return "enum";
    if ("properties" in schema) return "object";
    if (schema.type === "object") return "map";
    if (schema.type === "string" && schema.contentEncoding === "base64") return "bytes";
    return schema.type ?? "any";
  }

  const FORMATS = { "date-time": "datetime", date: "date", time: "time", "partial-time": "time", duration: "duration", uuid: "uuid" };
  const EXAMPLES = { "date-time": "2026-01-31T12:00:00Z", date: "2026-01-31", time: "12:00:00Z", "partial-time": "12:00:00", duration: "PT10S", uuid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", decimal: "1.50" };

  function word(schema, root) {
    const words = alternatives(schema, root).filter((one) => kind(one) !== "null").map((one) => {
      switch (kind(one)) {
        case "enum": return (one.enum ?? [one.const]).slice(0, 8).join("|");
        case "integer": return "int";
        case "boolean": return "bool";
        case "string": return FORMATS[one.format] ?? "string";
        case "array": return `list[${(one.prefixItems ?? [one.items ?? {}]).map((part) => word(part, root)).join(", ")}]`;
        case "map": return typeof one.additionalProperties === "object" ? `map[${word(one.additionalProperties, root)}]` : "object";
        case "object": return one.title ?? "object";
        case "any": return "json";
        default: return kind(one);
      }
    });
    return [...new Set(words)].join(" or ") || "null";
  }

  // -- numbers that a browser would round -----------------------------------------------------------------------------

  // JSON.rawJSON and the source of a number let an integer beyond 2^53 pass as it was typed, where the browser has them.
  function exact(text) {
    const number = Number(text);
    return Number.isInteger(number) && !Number.isSafeInteger(number) && JSON.rawJSON ? JSON.rawJSON(text) : number;
  }

  function parse(text) {
    return JSON.parse(text, (_, value, context) => (typeof value === "number" && context?.source ? exact(context.source) : value));
  }

  function write(value) {
    return JSON.stringify(value, null, 2);
  }

  function shown(value) {
    if (typeof value === "string") return value;
    return JSON.isRawJSON?.(value) ? value.rawJSON : JSON.stringify(value);
  }

  // -- files that are chosen ------------------------------------------------------------------------------------------

  // Stands for the content of a file in what `named` gives.
  class Chosen {
    constructor(name) { this.name = name; }
  }
  let naming = false;
  const reading = new Set();

  // Resolves when every file that was chosen has been read.
  async function settled() {
    while (reading.size) await Promise.allSettled([...reading]);
  }

  // -- the kinds of fields ---------------------------------------------------------------------------------------------

  // Each maker gives { element, control, get, set, find }. `control` is what a label is for, if there is one.
  const makers = {
    string(schema, root, changed) {
      const input = build("input", { type: schema.format === "date" ? "date" : "text", spellcheck: false });
      if (EXAMPLES[schema.format]) input.placeholder = EXAMPLES[schema.format];
      input.addEventListener("input", changed);
      return { element: input, control: input, get: () => input.value, set: (value) => { input.value = shown(value); } };
    },
    number(schema, root, changed) {
      const input = build("input", { type: "text", inputMode: schema.type === "integer" ? "numeric" : "decimal", className: "number-input", spellcheck: false });
      input.addEventListener("input", changed);
      // What is no number is sent as it is: the service says what it wants instead.
      const get = () => (/^-?\d+(\.\d+)?([eE][-+]?\d+)?$/.test(input.value.trim()) ? exact(input.value.trim()) : input.value);
      return { element: input, control: input, get, set: (value) => { input.value = shown(value); } };
    },
    boolean(schema, root, changed) {
      const input = build("input", { type: "checkbox" });
      input.addEventListener("change", changed);
      return { element: input, control: input, get: () => input.checked, set: (value) => { input.checked = value === true; } };
    },
    enum(schema, root, changed) {
      const values = schema.enum ?? [schema.const];
      const select = build("select", { disabled: values.length === 1 && "const" in schema }, ...values.map((value) => build("option", {}, shown(value))));
      select.addEventListener("change", changed);
      const set = (value) => { select.selectedIndex = Math.max(0, values.findIndex((one) => shown(one) === shown(value))); };
      return { element: select, control: select, get: () => values[select.selectedIndex], set };
    },
    null() {
      const element = build("span", { className: "muted" }, "null");
      return { element, get: () => null, set() {} };
    },
    bytes(schema, root, changed) {
      const input = build("input", { type: "file" });
      const about = build("span", { className: "hint" });
      let encoded = "";
      let chosen = "";
      const tell = () => { about.textContent = encoded ? `${((encoded.length * 3) / 4 - encoded.match(/=*$/)[0].length).toLocaleString("en")} bytes` : "no bytes"; };
      input.addEventListener("change", () => {
        const [file] = input.files;
        if (!file) return;
        const reader = new FileReader();
        const read = new Promise((done) => {
          reader.addEventListener("loadend", () => {
            if (reader.error) about.textContent = `${file.name} cannot be read: ${reader.error.message}`;
            else if (input.files[0] === file) take(file, reader.result);
            reading.delete(read);
            done();
          });
        });
        reading.add(read);
        about.textContent = "reading …";
        reader.readAsDataURL(file);
      });
      const take = (file, url) => {
        encoded = url.slice(url.indexOf(",") + 1);
        chosen = file.name;
        tell();
        input.dispatchEvent(new CustomEvent("chosen", { bubbles: true, detail: file }));
        changed();
      };
      const set = (value) => {
        const text = String(value ?? "");
        if (text !== encoded) chosen = "";
        encoded = text;
        tell();
      };
      tell();
      return { element: build("div", { className: "bytes" }, input, about), control: input, get: () => (naming && chosen ? new Chosen(chosen) : encoded), set };
    },
    any(schema, root, changed) {
      const area = build("textarea", { rows: 3, spellcheck: false, placeholder: "any JSON" });
      area.addEventListener("input", changed);
      const get = () => { try { return parse(area.value); } catch { return area.value; } };
      return { element: area, control: area, get, set: (value) => { area.value = write(value) ?? ""; } };
    },
    array(schema, root, changed) {
      const fixed = schema.prefixItems;
      const list = build("ol", { className: "parts" });
      const parts = [];
      const add = (value) => {
        const part = make(fixed?.[parts.length] ?? schema.items ?? {}, root, changed);
        const remove = build("button", { type: "button", className: "quiet small" }, "Remove");
        const row = build("li", {}, part.element, ...(fixed ? [] : [remove]));
        if (part.control) part.control.setAttribute("aria-label", "Item");
        remove.setAttribute("aria-label", "Remove this item");
        remove.addEventListener("click", () => {
          parts.splice(parts.indexOf(part), 1);
          row.remove();
          more.focus();
          changed();
        });
        part.row = row;
        parts.push(part);
        list.append(row);
        if (value !== undefined) part.set(value);
        return part;
      };
      const more = build("button", { type: "button", className: "small" }, "Add an item");
      more.addEventListener("click", () => {
        const part = add();
        (part.control ?? part.element.querySelector("input, select, textarea, button"))?.focus();
        changed();
      });
      if (fixed) for (const _ of fixed) add();
      const set = (value) => {
        for (const part of parts.splice(0)) part.row.remove();
        for (const one of Array.isArray(value) ? value : []) add(one);
      };
      const find = (steps) => (parts[steps[0]] ? parts[steps[0]].find(steps.slice(1)) : null);
      return { element: build("div", { className: "list" }, list, ...(fixed ? [] : [more])), get: () => parts.map((part) => part.get()), set, find };
    },
    map(schema, root, changed) {
      const rows = build("ul", { className: "parts" });
      const entries = [];
      const add = (key = "", value = undefined) => {
        const name = build("input", { type: "text", value: key, placeholder: "key", spellcheck: false });
        name.setAttribute("aria-label", "Key");
        const inner = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
        const part = make(inner, root, changed);
        if (part.control) part.control.setAttribute("aria-label", "Value");
        const remove = build("button", { type: "button", className: "quiet small" }, "Remove");
        remove.setAttribute("aria-label", "Remove this entry");
        const row = build("li", { className: "entry" }, name, part.element, remove);
        const entry = { name, part, row };
        name.addEventListener("input", changed);
        remove.addEventListener("click", () => {
          entries.splice(entries.indexOf(entry), 1);
          row.remove();
          more.focus();
          changed();
        });
        entries.push(entry);
        rows.append(row);
        if (value !== undefined) part.set(value);
        return entry;
      };
      const more = build("button", { type: "button", className: "small" }, "Add an entry");
      more.addEventListener("click", () => { add().name.focus(); changed(); });
      const set = (value) => {
        for (const entry of entries.splice(0)) entry.row.remove();
        for (const [key, one] of Object.entries(value ?? {})) add(key, one);
      };
      const find = (steps) => entries.find((entry) => entry.name.value === steps[0])?.part.find(steps.slice(1)) ?? null;
      return { element: build("div", { className: "list" }, rows, more), get: () => Object.fromEntries(entries.map((entry) => [entry.name.value, entry.part.get()])), set, find };
    },
    object(schema, root, changed) {
      const required = new Set(schema.required ?? []);
      const members = Object.entries(schema.properties).map(([name, one]) => member(name, one, root, required.has(name), changed));
      const element = build("div", { className: "members" }, ...members.map((one) => one.element));
      const get = () => Object.fromEntries(members.filter((one) => one.included()).map((one) => [one.name, one.get()]));
      const set = (value) => { for (const one of members) one.put(value ?? {}); };
      const find = (steps) => members.find((one) => one.name === steps[0])?.find(steps.slice(1)) ?? null;
      // A File takes its name and type from the file that is chosen for its content, as a form would send them.
      if (schema.title === "File") {
        element.addEventListener("chosen", ({ detail: file }) => set({ ...get(), name: file.name, ...(file.type && { content_type: file.type }) }));
      }
      return { element, get, set, find };
    },
  };
  makers.integer = makers.number;

  // A value of a schema: where it can be one of several, the choice stands before it.
  function make(schema, root, changed, optional = false) {
    let choices = alternatives(schema, root);
    const others = choices.filter((one) => kind(one) !== "null");
    if (optional && others.length === 1) choices = others;  // to leave it out says as much as null
    const part = choices.length > 1 ? union(choices, root, changed) : makers[kind(choices[0])](choices[0], root, changed);
    const deeper = part.find;
    part.find = (steps) => (steps.length ? deeper?.(steps) ?? part : part);
    return part;
  }

  function union(choices, root, changed) {
    const select = build("select", {}, ...choices.map((one) => build("option", {}, word(one, root))));
    select.setAttribute("aria-label", "Kind of value");
    const place = build("div", { className: "chosen" });
    let part;
    const choose = (index) => {
      select.selectedIndex = index;
      part = makers[kind(choices[index])](choices[index], root, changed);
      if (part.control) part.control.setAttribute("aria-label", word(choices[index], root));
      place.replaceChildren(part.element);
    };
    select.addEventListener("change", () => { choose(select.selectedIndex); changed(); });
    choose(0);
    const set = (value) => { choose(Math.max(0, choices.findIndex((one) => fits(value, one)))); part.set(value); };
    return { element: build("div", { className: "union" }, select, place), get: () => part.get(), set, find: (steps) => part.find?.(steps) ?? null };
  }

  function fits(value, schema) {
    switch (kind(schema)) {
      case "null": return value === null;
      case "boolean": return typeof value === "boolean";
      case "integer": return Number.isInteger(value) || Boolean(JSON.isRawJSON?.(value));
      case "number": return typeof value === "number";
      case "string": case "bytes": return typeof value === "string";
      case "array": return Array.isArray(value);
      case "enum": return (schema.enum ?? [schema.const]).includes(value);
      case "map": return typeof value === "object" && value !== null && !Array.isArray(value);
      case "object": {
        if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
        const tags = Object.entries(schema.properties).filter(([, one]) => "const" in one || one.enum?.length === 1);
        return tags.every(([name, one]) => value[name] === (one.const ?? one.enum[0])) && (schema.required ?? []).every((name) => name in value);
      }
      default: return true;
    }
  }

  // One named field. What need not be sent has a box that says whether it is; to write into it sets the box.
  function member(name, schema, root, required, changed) {
    const id = `field-${++count}`;
    let part = null;
    let isNull = false;  // as the JSON says, in a form that has no choice for it
    const place = build("div", { className: "value" });
    const include = build("input", { type: "checkbox", id: `${id}-include` });
    const ensure = () => {
      if (part) return part;
      part = make(schema, root, () => { include.checked = true; isNull = false; element.classList.remove("left-out"); mark(""); changed(); }, !required);
      if (part.control) {
        part.control.id = id;
        if (about.textContent) part.control.setAttribute("aria-describedby", `${id}-about`);
        if (required && part.control.type !== "checkbox") part.control.required = true;
      }
      place.append(part.element);
      if (schema.default !== undefined && schema.default !== null) part.set(schema.default);
      return part;
    };
    const label = build("label", {}, build("code", {}, name));
    const type = build("span", { className: "type" }, word(schema, root));
    const heading = build("div", { className: "heading" }, label, type);
    if (!required) {
      include.setAttribute("aria-label", `Send ${name}`);
      heading.append(build("span", { className: "include" }, include, build("span", { ariaHidden: "true" }, "send")));
    }
    const about = build("p", { className: "hint", id: `${id}-about` }, schema.description ?? "");
    const trouble = build("p", { className: "field-error", hidden: true, id: `${id}-error` });
    trouble.setAttribute("role", "alert");
    const element = build("div", { className: "member" }, heading, ...(schema.description ? [about] : []), place, trouble);
    const mark = (text) => {
      trouble.textContent = text;
      trouble.hidden = !text;
      element.classList.toggle("wrong", Boolean(text));
      if (part?.control) part.control.setAttribute("aria-invalid", String(Boolean(text)));
    };
    const show = () => {
      element.classList.toggle("left-out", !include.checked);
      const simple = alternatives(schema, root).every((one) => !["object", "array", "map"].includes(kind(one)));
      if (include.checked || simple) ensure();
      place.hidden = !include.checked && !simple;
    };
    include.addEventListener("change", () => { show(); changed(); });
    include.checked = required;
    show();
    if (part?.control) label.htmlFor = id;
    else { label.id = `${id}-label`; place.setAttribute("role", "group"); place.setAttribute("aria-labelledby", label.id); }
    const self = {
      name,
      element,
      included: () => include.checked,
      get: () => (isNull ? null : ensure().get()),
      put(values) {
        include.checked = required || Object.hasOwn(values, name);
        show();
        isNull = !required && Object.hasOwn(values, name) && values[name] === null;
        if (Object.hasOwn(values, name) && !isNull) ensure().set(values[name]);
      },
      find(steps) {
        const deeper = steps.length && part ? part.find(steps) : null;
        return deeper?.mark ? deeper : self;
      },
      mark,
    };
    return self;
  }

  function makeForm(schema, changed) {
    const root = make(schema, schema, changed);
    const clear = () => { for (const one of root.element.querySelectorAll(".wrong")) one.classList.remove("wrong"); for (const one of root.element.querySelectorAll(".field-error")) one.hidden = true; };
    const mark = (path, text) => {
      const steps = [...path.matchAll(/\[([^\]]*)\]|([^.[]+)/g)].map((step) => step[1] ?? step[2]);
      const found = root.find(steps);
      found?.mark?.(text);
      if (found?.element) (found.element.querySelector(":scope > .value :is(input, select, textarea)") ?? found.element).focus();
      return Boolean(found?.mark);
    };
    const named = () => { naming = true; try { return root.get(); } finally { naming = false; } };
    return { element: root.element, get: root.get, named, set: root.set, clear, mark };
  }

  return { makeForm, parse, write, settled, Chosen };
})();
