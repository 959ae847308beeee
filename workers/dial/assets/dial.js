// Convenience only: every page works without it, but for what is behind the # of an address.
"use strict";

// A plus in front of a number is a blank to URLSearchParams.
const read = (values, name) => (values.get(name) || "").replace(/^ /, "+");
const field = (name) => document.querySelector(`input[name="${name}"]`);

// What is behind the # never leaves the browser: it is put into the form, and out of the address.
function fill() {
  const values = new URLSearchParams(location.hash.slice(1));
  const names = ["token", "buildr_call_id", "to"].filter((name) => values.get(name));
  const fields = names.filter((name) => field(name));
  for (const name of fields) {
    field(name).value = read(values, name);
  }
  if (fields.length) {
    history.replaceState(null, "", location.pathname);
  } else if (names.length && field("token")) {
    // Logging in leads on to the call: a redirect keeps what is behind the #.
    field("token").form.action += location.hash;
  }
  const empty = [...document.querySelectorAll("form.dial input[required]")].find((input) => !input.value);
  const button = document.querySelector("form.dial button.main");
  if (empty || button) {
    (empty || button).focus();
  }
}
fill();
addEventListener("hashchange", fill);

// The dialler opens by itself after "Call"; the link is there to open it again.
const dialler = document.querySelector("a[data-dialler]");
if (dialler) {
  dialler.click();
}

// A bookmark is dragged, not clicked.
const bookmark = document.querySelector("a[data-bookmark]");
if (bookmark) {
  bookmark.addEventListener("click", (event) => {
    event.preventDefault();
    document.querySelector("[data-bookmark-hint]").hidden = false;
  });
}
