// Light, dark, or as the system is; what was chosen is remembered by the browser.

const ORDER = ["system", "light", "dark"];

export function startTheme(button) {
  const apply = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.dispatchEvent(new Event("themechange"));
  };
  let theme = ORDER.includes(localStorage.getItem("theme")) ? localStorage.getItem("theme") : "system";
  apply(theme);
  window
    .matchMedia("(prefers-color-scheme: dark)")
    .addEventListener("change", () => button.dispatchEvent(new Event("themechange")));
  return () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    localStorage.setItem("theme", theme);
    apply(theme);
  };
}
