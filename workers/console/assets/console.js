// Convenience only: every page works without it.
"use strict";

// A box in the head of a table selects all rows of the table.
for (const all of document.querySelectorAll("input[data-select-all]")) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of all.closest("table").querySelectorAll("tbody input[type=checkbox]")) {
      box.checked = all.checked;
    }
  });
}

// "/" leads to the search, as on many sites.
document.addEventListener("keydown", (event) => {
  const field = document.querySelector("[data-search]");
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key === "/" && field && !isTyping && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    field.focus();
  }
});
