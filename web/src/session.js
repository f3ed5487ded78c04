// What this browser tab remembers until it is closed: the token and the names of the scans.
const kept = (key) => ({
  get: () => sessionStorage.getItem(key),
  set: (value) => sessionStorage.setItem(key, value),
  clear: () => sessionStorage.removeItem(key),
});

export const token = kept("insula.token");

// A file's name may be the patient's. The server never has it, and other tabs and later visits do not see it.
const stored = kept("insula.names");
const all = () => JSON.parse(stored.get() ?? "{}");

export const names = {
  of: (id) => all()[id],
  set: (id, name) => stored.set(JSON.stringify({ ...all(), [id]: name })),
  keepOnly: (ids) => stored.set(JSON.stringify(Object.fromEntries(Object.entries(all()).filter(([id]) => ids.has(id))))),
};

export function takeTokenFromAddress() {
  const addressToken = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!addressToken) return;
  token.set(addressToken);
  history.replaceState(null, "", location.pathname + location.search);
}
