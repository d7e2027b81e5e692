// The explorer: keeps form and JSON in step, sends, and shows what comes back, streams as they come.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const MOST_ITEMS = 1000;

  const filter = $("picker-filter");
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const group of document.querySelectorAll(".picker .group")) {
      let any = false;
      for (const link of group.querySelectorAll("a")) {
        const fits = link.dataset.name.includes(wanted);
        link.parentElement.hidden = !fits;
        any ||= fits;
      }
      group.hidden = !any;
      if (wanted && any) group.open = true;
    }
  });

  if (!$("facts")) return;
  const facts = JSON.parse($("facts").textContent);
  const request = $("request");
  const streaming = facts.fromClient || facts.fromServer;
  const { makeForm, parse, write, settled, Chosen } = fieldsOf;

  // -- the request -----------------------------------------------------------------------------------------------------

  const form = makeForm(facts.request, () => {
    request.value = write(form.get());
    complain("");
    showLines();
  });
  if (Object.keys(facts.request.properties ?? {}).length) $("fields").append(form.element);
  else $("fields").append(Object.assign(document.createElement("p"), { className: "muted", textContent: "It takes no fields." }));
  if (request.value.trim() === "{}") request.value = write(form.get());
  else readDocument();

  function complain(text) {
    $("request-error").textContent = text;
    $("request-error").hidden = !text;
    request.setAttribute("aria-invalid", String(Boolean(text)));
  }

  function readDocument() {
    let value;
    try {
      value = parse(request.value || "{}");
      if (typeof value !== "object" || value === null || Array.isArray(value)) throw new SyntaxError("a request is an object: { … }");
    } catch (error) {
      complain(`Not a request yet: ${error.message}`);
      return false;
    }
    complain("");
    form.set(value);
    showLines();
    return true;
  }
  request.addEventListener("input", readDocument);

  // -- tabs ------------------------------------------------------------------------------------------------------------

  const tabs = [$("tab-form"), $("tab-json")];
  const panels = [$("panel-form"), $("panel-json")];
  panels[1].setAttribute("role", "tabpanel");
  panels[1].setAttribute("aria-labelledby", "tab-json");
  function select(index) {
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
      panels[at].hidden = at !== index;
    });
  }
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => select(at));
    tab.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      event.preventDefault();
      select(1 - at);
      tabs[1 - at].focus();
    });
  });
  tabs[0].parentElement.hidden = false;
  select(0);

  // -- the same from a terminal ----------------------------------------------------------------------------------------

  const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;

  const word = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : quote(text));
  const fileName = (value) => [value, value?.content].find((one) => one instanceof Chosen)?.name;

  // The fields whose content is a chosen file, and all others. None where a file lies too deep to be named by a flag.
  function splitFiles(fields) {
    const files = [];
    const others = {};
    for (const [name, value] of Object.entries(fields)) {
      const names = (Array.isArray(value) ? value : [value]).map(fileName);
      if (names.length && names.every(Boolean)) files.push(...names.map((file) => [name, file]));
      else others[name] = value;
    }
    let deep = false;
    JSON.stringify(others, (_, value) => { deep ||= value instanceof Chosen; return value; });
    return deep || !files.length ? null : { files, others };
  }

  // A file is named, as a person would: its content would fill the screen.
  function showFileLines({ files, others }, items, token) {
    const rest = Object.keys(others).length ? ` --json ${quote(JSON.stringify(others))}` : "";
    const flags = files.map(([name, file]) => ` --${name.toLowerCase().replaceAll("_", "-")} ${word(`@${file}`)}`).join("");
    $("line-cli").textContent = `${items}microlite ${facts.service} ${facts.endpoint.replaceAll(".", " ")}${rest}${flags}`;
    const texts = Object.entries(others).map(([name, value]) => ` --form-string ${word(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)}`);
    const curlName = (file) => (/[;,"\\]/.test(file) ? `"${file.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"` : file);
    const parts = files.map(([name, file]) => ` -F ${word(`${name}=@${curlName(file)}`)}`);
    $("line-curl").textContent = `curl ${facts.fromServer ? "-N " : ""}${facts.url}${token}${texts.join("")}${parts.join("")}`;
  }

  function showLines() {
    const line = JSON.stringify(form.get());
    const command = streaming ? "stream" : "call";
    const items = facts.fromClient ? `printf '%s\\n' ${quote(JSON.stringify(item ? item.get() : {}))} | ` : "";
    $("curl").hidden = facts.fromClient;
    $("lines").hidden = false;
    const token = facts.token ? ` -H "Authorization: Bearer $(cat ${facts.token})"` : "";
    const split = splitFiles(form.named());
    if (split) {
      showFileLines(split, items, token);
      return;
    }
    $("line-cli").textContent = `${items}microlite ${command} ${facts.service} ${facts.endpoint} ${quote(line)}`;
    $("line-curl").textContent = `curl ${facts.fromServer ? "-N " : ""}${facts.url}${token} -H 'Content-Type: application/json' -d ${quote(line)}`;
  }

  // -- items of the caller's own stream --------------------------------------------------------------------------------

  let item = null;
  let sent = 0;
  let streamId = "";
  if (facts.fromClient) {
    item = makeForm({ ...facts.items, $defs: facts.items.$defs }, showLines);
    $("item-fields").append(item.element);
    $("send-item").addEventListener("click", async () => {
      await settled();
      const answer = await post(`/streams/${streamId}`, JSON.stringify(item.get()));
      if (answer.ok) $("items-sent").textContent = `${++sent} sent`;
      else microlite.notify(await answer.text(), "bad");
    });
    $("end-items").addEventListener("click", async () => {
      $("items").hidden = true;
      await post(`/streams/${streamId}/end`, "");
    });
  }
  showLines();

  // -- sending ---------------------------------------------------------------------------------------------------------

  function post(path, body, signal) {
    return fetch(path, { method: "POST", body, signal, headers: { "Content-Type": "application/json", "X-CSRF-Token": microlite.token } });
  }

  $("call").addEventListener("submit", async (event) => {
    event.preventDefault();
    if ($("send").disabled) return;
    $("send").disabled = true;
    await settled();
    $("send").disabled = false;
    if (!$("request-error").hidden) { select(1); request.focus(); return; }
    form.clear();
    (streaming ? openStream : send)();
  });
  $("call").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("call").requestSubmit();
  });

  async function send() {
    $("send").disabled = true;
    try {
      const answer = await post($("call").action, request.value);
      if (!answer.ok) throw new Error(await answer.text());
      show(await answer.json());
    } catch (error) {
      show({ kind: "error", code: 0, status: "Not sent", detail: error.message || "The platform does not answer." });
    } finally {
      $("send").disabled = false;
    }
  }

  function size(bytes) {
    return bytes < 1000 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  }

  function time(seconds) {
    return seconds < 1 ? `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms` : `${seconds.toFixed(1)} s`;
  }

  function show(answer) {
    const failed = answer.kind === "error";
    $("answer").hidden = false;
    $("answer-code").textContent = `${answer.code ?? 200} ${answer.status ?? "OK"}`;
    $("answer-code").dataset.tone = failed ? "bad" : "good";
    $("answer-facts").textContent = [time(answer.seconds ?? 0), ...(failed ? [] : [size(answer.size ?? 0)])].join(" · ");
    $("answer-text").hidden = failed;
    $("answer-copy").hidden = failed;
    $("answer-text").textContent = answer.text ?? "";
    showError(failed ? answer : null);
  }

  function showError(answer) {
    $("answer-error").hidden = !answer;
    if (!answer) return;
    $("answer-error").textContent = answer.detail + (answer.code >= 500 && answer.id ? ` (${answer.id})` : "");
    const named = /^([\w-]+(?:\.[\w-]+|\[[^\]]*\])*): (.+)$/s.exec(answer.detail);
    if (answer.code === 400 && named) form.mark(named[1], named[2]);
  }

  // -- streams ---------------------------------------------------------------------------------------------------------

  async function openStream() {
    const stopping = new AbortController();
    const list = $("stream-items");
    let count = 0;
    list.replaceChildren();
    sent = 0;
    $("send").disabled = true;
    $("stop").hidden = false;
    $("answer").hidden = list.hidden = false;
    $("answer-text").hidden = true;
    showError(null);
    $("answer-code").textContent = "open";
    $("answer-code").dataset.tone = "busy";
    const tell = () => { $("answer-facts").textContent = count === 1 ? "1 item" : `${count} items`; };
    const over = (text, tone) => { $("answer-code").textContent = text; $("answer-code").dataset.tone = tone; };
    tell();
    $("stop").onclick = () => stopping.abort();
    const take = (answer) => {
      if (answer.kind === "open") {
        streamId = answer.id;
        if (facts.fromClient) { $("items").hidden = false; $("items-sent").textContent = ""; }
      } else if (answer.kind === "item") {
        const follows = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
        const row = document.createElement("li");
        row.append(Object.assign(document.createElement("span"), { className: "muted", textContent: time(answer.seconds ?? 0) }), Object.assign(document.createElement("pre"), { textContent: answer.text }));
        list.append(row);
        while (list.childElementCount > MOST_ITEMS) list.firstElementChild.remove();
        if (follows) list.scrollTop = list.scrollHeight;
        count += 1;
        tell();
      } else if (answer.kind === "end") {
        over("ended", "good");
      } else {
        over(`${answer.code} ${answer.status}`, "bad");
        showError(answer);
      }
    };
    try {
      const answer = await post(`${$("call").action}/stream`, request.value, stopping.signal);
      if (!answer.ok) throw new Error(await answer.text());
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line) take(JSON.parse(line));
      }
      if ($("answer-code").dataset.tone === "busy") over("cut off", "warn");
    } catch (error) {
      if (stopping.signal.aborted) over("stopped", "quiet");
      else { over("not open", "bad"); showError({ code: 0, detail: error.message || "The platform does not answer." }); }
    } finally {
      $("send").disabled = false;
      $("stop").hidden = true;
      if (facts.fromClient) $("items").hidden = true;
    }
  }
})();
