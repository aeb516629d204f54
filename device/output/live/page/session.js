// The token of a page: from its address, and exchanged for a cookie that no script can read.

import { byId, setText } from "./words.js";

const WRONG_TOKEN = "That is not the token of this run.";

/**
 * Begins with the token of the address, if it has one, else with the cookie of an earlier visit. The form of the page asks for
 * a token when the one of the address is wrong, and whenever the returned `lock` is called; `onLocked` is told of it.
 */
export function openSession(begin, onLocked) {
  const lock = (error = "") => {
    byId("entry").hidden = false;
    byId("main").hidden = true;
    onLocked();
    setText(byId("token-error"), error);
    byId("token").focus();
  };
  const enter = async (token) => {
    if (!(await isAccepted(token))) return lock(WRONG_TOKEN);
    byId("entry").hidden = true;
    return begin();
  };
  byId("entry").addEventListener("submit", (event) => {
    event.preventDefault();
    const token = byId("token").value.trim();
    byId("token").value = "";
    return enter(token);
  });
  const start = () => {
    const token = takeToken();
    return token ? enter(token) : begin();
  };
  addEventListener("hashchange", start);
  start();
  return lock;
}

/** The token behind the # of the address, which is then removed from it; undefined where there is none. */
function takeToken() {
  const token = location.hash.match(/^#token=([\w.~+/=-]+)$/)?.[1]; // not decoded: a + is a +
  if (location.hash) history.replaceState(null, "", location.pathname);
  return token;
}

async function isAccepted(token) {
  try {
    return (await fetch("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } })).ok;
  } catch {
    return true; // the device does not answer, which the next request will report
  }
}
