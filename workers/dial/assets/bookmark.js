(() => {
  const id = location.href.match(new RegExp(PATTERN));
  const input = document.activeElement;
  let number = String(getSelection());
  if (!number && input && typeof input.selectionStart === "number") {
    number = input.value.slice(input.selectionStart, input.selectionEnd);
  }
  if (!number.trim()) {
    const links = [...document.querySelectorAll('a[href^="tel:"]')];
    const numbers = new Set(links.map((link) => decodeURIComponent(link.href.slice(4))));
    if (numbers.size === 1) {
      number = [...numbers][0];
    }
  }
  const values = new URLSearchParams();
  if (id) {
    values.set("buildr_call_id", id[1]);
  }
  if (number.trim()) {
    values.set("to", number.trim().slice(0, 60));
  }
  open(PAGE + "#" + values, "_blank", "noopener,width=480,height=640");
})();
