// Adds a button that copies each block of code, and puts this server's address into sessions for the terminal.
for (const code of document.querySelectorAll("pre > code")) {
  const origin = code.dataset.origin;
  if (origin) code.textContent = code.textContent.replaceAll(origin, location.origin);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      // Without https, browsers give no access to the clipboard.
      getSelection().selectAllChildren(code);
      done = "Selected";
    }
    button.textContent = done;
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  code.parentElement.append(button);
}
