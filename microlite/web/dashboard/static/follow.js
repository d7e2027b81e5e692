// A list that grows at its top as things come: messages, events. It keeps no more than a browser can bear.
"use strict";

(() => {
  const MOST = 500;
  const place = document.getElementById("follow");
  if (!place) return;
  const list = document.getElementById("follow-items");
  const pause = document.getElementById("follow-pause");
  let held = [];
  let paused = false;
  let delay = 1000;
  place.hidden = false;

  function part(tag, text, name) {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  }

  function row(item) {
    const element = document.createElement("li");
    const head = part("p", "", "item-head");
    head.append(part("time", item.time), part("b", item.name));
    if (item.note) head.append(part("span", item.note, "tag"));
    element.append(head, part("code", item.text));
    if (item.more) {
      const more = document.createElement("details");
      more.append(part("summary", "Headers"), part("pre", item.more));
      element.append(more);
    }
    return element;
  }

  function show(items) {
    for (const item of items) list.prepend(row(item));
    while (list.childElementCount > MOST) list.lastElementChild.remove();
  }

  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    if (!paused) { show(held); held = []; }
  });
  document.getElementById("follow-clear").addEventListener("click", () => { list.replaceChildren(); held = []; });

  function connect() {
    const source = new EventSource(place.dataset.source);
    const told = document.getElementById("follow-state");
    source.addEventListener("open", () => { told.textContent = "Listening"; delay = 1000; });
    source.addEventListener("item", (event) => {
      const item = JSON.parse(event.data);
      if (paused) held = held.concat([item]).slice(-MOST); else show([item]);
    });
    source.addEventListener("trouble", (event) => {
      source.close();
      told.textContent = event.data;
    });
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED && told.textContent !== "Listening") return;
      source.close();
      told.textContent = "Reconnecting…";
      setTimeout(connect, delay);
      delay = Math.min(delay * 2, 15000);
    });
  }
  connect();
})();
