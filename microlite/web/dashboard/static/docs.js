// Swagger UI over our own document. It asks nobody else for anything: no validator, no fonts.
"use strict";

(() => {
  const place = document.getElementById("swagger");
  document.getElementById("docs-service").addEventListener("change", () => document.getElementById("docs-choice").submit());
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const dress = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", dress);
  dress();
  SwaggerUIBundle({
    url: place.dataset.url,
    domNode: place,
    validatorUrl: null,
    deepLinking: false,
    // Of all services their names alone: Swagger UI stops drawing somewhere beyond a hundred open operations.
    docExpansion: place.dataset.url.includes("?") ? "list" : "none",
    defaultModelsExpandDepth: -1,
    displayRequestDuration: true,
    withCredentials: false,
    persistAuthorization: false,
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
  });
})();
