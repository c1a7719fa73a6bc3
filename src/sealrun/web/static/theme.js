// Before anything is drawn: the theme that was chosen. Everything else is in live.js.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* no storage: the system's theme counts */ }
