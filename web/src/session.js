// What this browser tab remembers: the token and the job, but nothing of the scan.
const kept = (key) => ({
  get: () => sessionStorage.getItem(key),
  set: (value) => sessionStorage.setItem(key, value),
  clear: () => sessionStorage.removeItem(key),
});

export const token = kept("insula.token");
export const job = kept("insula.job");

export function takeTokenFromAddress() {
  const addressToken = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!addressToken) return;
  token.set(addressToken);
  history.replaceState(null, "", location.pathname + location.search);
}
