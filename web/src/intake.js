// Lets the user drop or choose a scan.
import { find } from "./dom.js";
import { dropped } from "./scan.js";

export function listen(onFiles) {
  for (const input of [find("file"), find("folder")]) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      if (files.length > 0) onFiles(files);
    });
  }
  listenForDrops(find("intake").querySelector(".drop"), onFiles);
}

function listenForDrops(zone, onFiles) {
  // Without these, a file dropped elsewhere would replace the page.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => event.preventDefault());
  zone.addEventListener("dragover", () => zone.classList.add("over"));
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    zone.classList.remove("over");
    onFiles(dropped(event.dataTransfer));
  });
}
