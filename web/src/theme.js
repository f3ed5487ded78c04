// Chooses light or dark colours by hand; a classic script, so that the page is never drawn in the wrong ones first.
(() => {
  const KEY = "insula.theme";
  const THEMES = ["system", "light", "dark"];

  // A browser that blocks storage throws; the choice then lasts until the page is closed.
  const stored = (act) => {
    try {
      return act();
    } catch {
      return null;
    }
  };
  const saved = stored(() => localStorage.getItem(KEY));
  let theme = THEMES.includes(saved) ? saved : "system";

  const apply = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };

  apply();
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = `Colours: ${theme}`;
    };
    button.onclick = () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      stored(() => localStorage.setItem(KEY, theme));
      apply();
      label();
    };
    label();
  });
})();
