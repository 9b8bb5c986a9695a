"use strict";
// Before anything is drawn, so that a page in the theme that was chosen last time does not flash in the other.
try {
  const chosen = localStorage.getItem("rnnbench-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch { /* a browser may keep nothing for pages of a folder */ }
