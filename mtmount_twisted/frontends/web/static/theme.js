// Sets the day or night theme before the first drawing. It is not a module, because modules run too late.
//
// It touches the root element's data-theme and localStorage, which holds the user's choice, if any.
"use strict";

(() => {
  const KEY = "mtmount-theme";
  const dark = matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage may be forbidden
    }
  }

  function apply() {
    const chosen = stored();
    const preferred = dark.matches ? "night" : "day";
    document.documentElement.dataset.theme = chosen === "day" || chosen === "night" ? chosen : preferred;
  }

  dark.addEventListener("change", apply);
  apply();

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const tell = () => {
      const night = document.documentElement.dataset.theme === "night";
      button.textContent = night ? "Day" : "Night";
      button.setAttribute("aria-label", `${button.textContent} theme`);
    };
    button.addEventListener("click", () => {
      const next = document.documentElement.dataset.theme === "night" ? "day" : "night";
      try {
        localStorage.setItem(KEY, next);
      } catch {
        // the choice lasts for this page only
      }
      document.documentElement.dataset.theme = next;
      tell();
    });
    dark.addEventListener("change", tell);
    tell();
  });
})();
