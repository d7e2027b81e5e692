// The logs: appends lines as they come, hides those that do not fit the filter, and keeps no more than a browser can bear.
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const MOST = 5000;
  const LEVELS = ["debug", "info", "warning", "error"];
  const { service, node, since } = $("log").dataset;
  const box = $("log");
  const list = $("lines");
  let paused = false;
  let held = [];
  let follows = true;
  let first = true;
  let delay = 1000;

  for (const one of document.querySelectorAll("[data-script]")) one.hidden = false;
  for (const one of document.querySelectorAll("[data-plain]")) one.hidden = true;
  $("log-actions").hidden = false;
  for (const select of $("filters").querySelectorAll("select[name]")) {
    select.addEventListener("change", () => {
      const query = new URLSearchParams(new FormData($("filters")));
      const name = query.get("service");
      if (name !== service) query.delete("node");
      query.delete("service");
      for (const [key, value] of [...query]) if (!value) query.delete(key);
      location.assign(`/logs${name ? `/${encodeURIComponent(name)}` : ""}${query.size ? `?${query}` : ""}`);
    });
  }

  // -- lines -------------------------------------------------------------------------------------------------------------

  function part(tag, text) {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  }

  function row(line) {
    const element = document.createElement("li");
    if (line.level) element.dataset.level = line.level;
    element.dataset.stream = line.stream;
    element.append(part("time", line.time), " ");
    if (!service) element.append(part("b", line.service), " ");
    element.append(part("i", line.node), " ", part("span", line.text));
    element.hidden = !fits(element);
    return element;
  }

  function fits(element) {
    const level = $("level").value;
    if (level && LEVELS.indexOf(element.dataset.level ?? "") < LEVELS.indexOf(level)) return false;
    const text = $("text").value.toLowerCase();
    return !text || element.textContent.toLowerCase().includes(text);
  }

  function append(lines) {
    const fragment = document.createDocumentFragment();
    for (const line of lines.slice(-MOST)) fragment.append(row(line));
    list.append(fragment);
    while (list.childElementCount > MOST) list.firstElementChild.remove();
    settle();
  }

  function settle() {
    const all = list.childElementCount;
    const hidden = list.querySelectorAll("li[hidden]").length;
    $("log-empty").hidden = all > 0;
    const word = all === 1 ? "line" : "lines";
    $("log-count").textContent = hidden ? `${all - hidden} of ${all} ${word}` : `${all} ${word}`;
    if (paused && held.length) $("log-count").textContent += `, ${held.length} new while paused`;
    if (follows) box.scrollTop = box.scrollHeight;
    $("newest").hidden = follows;
  }

  for (const id of ["level", "text"]) {
    $(id).addEventListener("input", () => {
      for (const element of list.children) element.hidden = !fits(element);
      settle();
    });
  }

  box.addEventListener("scroll", () => {
    follows = box.scrollTop + box.clientHeight >= box.scrollHeight - 12;
    $("newest").hidden = follows;
  });
  $("newest").addEventListener("click", () => { follows = true; settle(); });

  $("pause").addEventListener("click", () => {
    paused = !paused;
    $("pause").textContent = paused ? "Go on" : "Pause";
    $("pause").setAttribute("aria-pressed", String(paused));
    if (!paused) { append(held); held = []; }
    settle();
  });
  $("clear").addEventListener("click", () => { list.replaceChildren(); held = []; settle(); });
  $("filters").addEventListener("submit", (event) => event.preventDefault());

  // Each stream begins with the past, of which a page that is paused shows a part already.
  function unseen(lines) {
    const said = (element) => ["time", "i", "span"].map((tag) => element?.querySelector(tag)?.textContent).join(" ");
    const last = said(list.lastElementChild);
    return lines.slice(lines.findLastIndex((line) => said(row(line)) === last) + 1);
  }

  // -- the stream --------------------------------------------------------------------------------------------------------

  function connect() {
    const source = new EventSource(`/live/logs?${new URLSearchParams({ service, node, since })}`);
    source.addEventListener("open", () => {
      microlite.showLink("live", "Live");
      delay = 1000;
      first = true;
    });
    source.addEventListener("lines", (event) => {
      const lines = JSON.parse(event.data);
      if (first && paused) held = unseen(lines);
      else if (paused) held = held.concat(lines).slice(-MOST);
      else if (first) list.replaceChildren();
      first = false;
      if (paused) settle(); else append(lines);
    });
    source.addEventListener("error", () => {
      source.close();
      microlite.lost();
      setTimeout(connect, delay);
      delay = Math.min(delay * 2, 15000);
    });
  }
  settle();
  connect();
})();
