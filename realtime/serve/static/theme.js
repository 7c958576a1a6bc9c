// Light, dark, or as the system is; what was chosen is remembered by the browser.

import { recall, remember } from "./memory.js";

const ORDER = ["system", "light", "dark"];

export function startTheme(button) {
  const apply = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.dispatchEvent(new Event("themechange"));
  };
  const chosen = recall(() => localStorage, "theme");
  let theme = ORDER.includes(chosen) ? chosen : "system";
  apply(theme);
  window
    .matchMedia("(prefers-color-scheme: dark)")
    .addEventListener("change", () => button.dispatchEvent(new Event("themechange")));
  return () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    remember(() => localStorage, "theme", theme);
    apply(theme);
  };
}
