// Loaded in <head> without defer: the stored theme must be set before the first paint.
(() => {
  "use strict";
  try {
    const theme = localStorage.getItem("mamimon-theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch (error) { /* storage is forbidden here: the system's theme it is */ }
})();
