// The token of a page: from its address, and exchanged for a cookie that no script can read.

export const WRONG_TOKEN = "That is not the token of this run.";

/** The token behind the # of the address, which is then removed from it; undefined where there is none. */
export function takeToken() {
  const token = location.hash.match(/^#token=([\w.~+/=-]+)$/)?.[1]; // not decoded: a + is a +
  if (location.hash) history.replaceState(null, "", location.pathname);
  return token;
}

export async function isAccepted(token) {
  try {
    return (await fetch("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } })).ok;
  } catch {
    return true; // the device does not answer, which the next request will report
  }
}
