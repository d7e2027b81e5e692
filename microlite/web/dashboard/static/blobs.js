// Uploads a file as the body of a request, so that its size does not matter, and shows how far it came.
"use strict";

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id !== "upload") return;
  event.preventDefault();
  const file = form.elements.file.files[0];
  const button = form.querySelector("button");
  const progress = form.querySelector("progress");
  const trouble = form.querySelector(".trouble");
  const typed = form.elements.name.value.trim();
  const name = !typed || typed.endsWith("/") ? typed + file.name : typed;
  const told = new URLSearchParams({ name, database: form.dataset.database, lives: form.elements.lives.value });
  const sending = new XMLHttpRequest();

  const over = (text) => {
    button.disabled = false;
    progress.hidden = true;
    trouble.hidden = !text;
    trouble.textContent = text;
  };
  sending.upload.addEventListener("progress", (step) => {
    progress.value = step.total ? step.loaded / step.total : 1;
  });
  sending.addEventListener("load", () => {
    if (sending.status === 200) {
      const place = new URLSearchParams({ database: form.dataset.database });
      location.assign("/store/blobs?" + place);
    } else {
      over(sending.responseText || "The upload failed: " + sending.status);
    }
  });
  sending.addEventListener("error", () => over("The connection broke; nothing was kept."));
  sending.open("POST", "/store/blobs/upload?" + told);
  sending.setRequestHeader("x-csrf-token", form.dataset.csrf);
  sending.setRequestHeader("content-type", file.type || "application/octet-stream");
  over("");
  button.disabled = true;
  progress.value = 0;
  progress.hidden = false;
  sending.send(file);
});
