// The page with the mask of a study's case, in a document without a browser: node --test test/case.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDocument, until } from "./document.mjs";
import { CASE, Service, shaOf } from "./service.mjs";

test("a rater whose token the service no longer takes enters another one and saves the same mask", async () => {
  const find = openDocument({ search: `?case=${CASE}`, hash: "#token=token-1" });
  const service = new Service();
  const said = () => find("trouble").textContent;
  const isShown = () => find("access").hidden && find("viewer-note").textContent.startsWith("This browser");
  await import("../src/page.js");
  await until(isShown);
  find("slider").value = 0.25;
  find("slider").oninput();
  service.token = "token-2"; // the service was started again
  find("save").onclick();
  await until(() => !find("access").hidden);
  assert.equal(said(), `The mask of ${CASE} was not saved: the server does not accept this token; enter another one, then save the mask again.`);
  assert.ok(!dispatchEvent(new Event("beforeunload", { cancelable: true })), "no warning on leaving");

  service.saved = 3; // by another rater
  find("token").value = "token-2";
  find("access").querySelector("form").dispatchEvent(new Event("submit", { cancelable: true }));
  await until(isShown);
  assert.equal(find("threshold-value").textContent, "0.25");
  find("save").onclick();
  await until(() => said().includes("was changed since it was loaded"));
  assert.equal(service.saved, 3);
  assert.equal(service.puts.at(-1).match, `"${shaOf(0)}"`);

  service.saved = 0;
  find("save").onclick();
  await until(() => service.saved === 1 && find("save").disabled);
  assert.ok(dispatchEvent(new Event("beforeunload", { cancelable: true })), "a warning after saving");
});
