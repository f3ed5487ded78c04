// Lets the user drop or choose scans.
import { find } from "./dom.js";

// `onFiles` is given a promise of [{ file, path }].
export function listen(onFiles) {
  for (const input of [find("file"), find("folder")]) {
    input.addEventListener("change", () => {
      const files = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
      input.value = "";
      if (files.length > 0) onFiles(Promise.resolve(files));
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

// The entries must be taken before the first await: the browser empties the transfer once the event is over.
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return (await Promise.all(entries.map(filesIn))).flat();
}

async function filesIn(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  return (await Promise.all((await entriesIn(entry)).map(filesIn))).flat();
}

async function entriesIn(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return all;
    all.push(...batch);
  }
}
