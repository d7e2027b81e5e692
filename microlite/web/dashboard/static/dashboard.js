// What all pages share: the token on what changes something, questions before it, notices after it, times that go on, copy
// buttons, and whether the page is live. Each page works without it, only less well.
"use strict";

const token = document.querySelector('meta[name="csrf-token"]').content;

// What a reader has opened stays open when a fragment is renewed; the server does not know of it.
Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");

document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRF-Token"] = token;
});

// -- questions ---------------------------------------------------------------------------------------------------------

document.addEventListener("htmx:confirm", (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  const dialog = document.getElementById("confirm");
  document.getElementById("confirm-text").textContent = event.detail.question;
  document.getElementById("confirm-yes").textContent = event.detail.elt.querySelector("button")?.textContent ?? "Go on";
  dialog.returnValue = "no";
  dialog.addEventListener("close", () => {
    if (dialog.returnValue === "yes") event.detail.issueRequest(true);
  }, { once: true });
  dialog.showModal();
});

// -- notices -----------------------------------------------------------------------------------------------------------

const NOTICE_SECONDS = 8;

function notify(text, tone = "good") {
  const notice = document.createElement("p");
  notice.className = "notice";
  notice.dataset.tone = tone;
  notice.textContent = text;
  document.getElementById("notices").append(notice);
}

new MutationObserver((changes) => {
  for (const change of changes) {
    for (const notice of change.addedNodes) {
      if (notice.nodeType === Node.ELEMENT_NODE) setTimeout(() => notice.remove(), NOTICE_SECONDS * 1000);
    }
  }
}).observe(document.getElementById("notices"), { childList: true });

// What a form could not do stands where the form says: in itself, or at a place of the page. Elsewhere it is a notice.
function troublePlace(form) {
  const where = form.dataset?.trouble;
  if (!where) return null;
  if (where !== "own") return document.querySelector(where);
  let place = form.querySelector(":scope > .trouble-place");
  if (!place) {
    place = document.createElement("div");
    place.className = "trouble-place";
    form.prepend(place);
  }
  return place;
}

document.addEventListener("htmx:beforeRequest", (event) => troublePlace(event.detail.elt)?.replaceChildren());
document.addEventListener("htmx:responseError", (event) => {
  const text = event.detail.xhr.responseText || "That did not work.";
  const place = event.detail.xhr.status < 500 ? troublePlace(event.detail.elt) : null;
  if (!place) {
    notify(text, "bad");
    return;
  }
  const trouble = document.createElement("p");
  trouble.className = "trouble";
  trouble.setAttribute("role", "alert");
  trouble.textContent = text;
  place.replaceChildren(trouble);
  place.scrollIntoView({ block: "nearest" });
});
// A form has done what it was filled for: it is empty again, so that no secret stays in it.
document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.detail.elt;
  if (event.detail.successful && form.dataset?.trouble === "own") {
    if (event.detail.target?.id === "made") form.reset();
    for (const secret of form.querySelectorAll('input[type="password"]')) secret.value = "";
  }
});
document.addEventListener("htmx:sendError", () => notify("The platform does not answer.", "bad"));

// -- times -------------------------------------------------------------------------------------------------------------

function duration(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-since]")) {
    const seconds = Date.now() / 1000 - Number(time.dataset.since);
    const suffix = time.textContent.endsWith(" ago") ? " ago" : "";
    const text = duration(seconds) + suffix;
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of document.querySelectorAll("time[data-until]")) {
    const seconds = Number(time.dataset.until) - Date.now() / 1000;
    const text = seconds <= 0 ? "now" : `in ${duration(seconds)}`;
    if (time.textContent !== text) time.textContent = text;
  }
}
setInterval(tick, 1000);

// -- copying -----------------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from]");
  if (!button) return;
  const text = button.dataset.copy ?? document.getElementById(button.dataset.copyFrom).textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    notify("The browser does not let this page copy.", "bad");
    return;
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = before; }, 1500);
});

// -- live --------------------------------------------------------------------------------------------------------------

function showLink(state, text) {
  const place = document.getElementById("link-state");
  place.hidden = false;
  if (place.dataset.state === state) return;
  place.dataset.state = state;
  place.textContent = text;
}

async function lost() {
  showLink("lost", "Reconnecting…");
  try {
    const answer = await fetch("/alive", { headers: { Accept: "text/plain" } });
    if (answer.status === 401) location.reload();  // the session is over: this shows how to log in
  } catch {
    // The platform is away. The stream tries again by itself, and slower each time.
  }
}

document.addEventListener("htmx:sseOpen", () => showLink("live", "Live"));
document.addEventListener("htmx:sseError", lost);

window.microlite = { notify, token, duration, showLink, lost };

// On a narrow screen the navigation is a line to be scrolled: it begins at the page that is shown.
document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
