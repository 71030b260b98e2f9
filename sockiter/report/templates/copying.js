const copying = (() => {
  // What all pages share: buttons that copy.
  "use strict";
  const copied = async (text, beside) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not over plain HTTP, and not where the reader forbids it.
      const area = document.createElement("textarea");
      area.value = text;
      area.setAttribute("aria-hidden", "true");
      beside.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  // Buttons to copy; `texts` has for each what it copies at the moment.
  const copies = (root, texts) => root.querySelectorAll("[data-copy]").forEach(button => button.addEventListener("click", async () => {
    const status = root.querySelector("[role=status]"), what = button.textContent.replace("Copy ", "");
    status.textContent = "";
    const done = await copied(texts[button.dataset.copy](), status.parentElement);
    status.textContent = done ? `Copied ${what}.` : `The browser does not let this page copy ${what}.`;
    button.focus();
  }));
  // A case that can be pasted into a shell: no line of one is END.
  const command = (replay, text) => `${replay} - <<'END'\n${text}END\n`;
  return { copies, command };
})();
