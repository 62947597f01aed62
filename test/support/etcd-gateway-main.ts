/**
 * Speaks to an etcd from inside its namespace, through its JSON gateway, for who cannot: many keys in one transaction,
 * and without a process for each request as etcdctl needs. Reads lines of JSON, `{path, body}`, null for a GET, does one
 * after another, and answers each with a line `{ok, text, at}`: the answer, and when it came, in milliseconds of the
 * wall clock. `etcd.ts` is the other end.
 */
import { createInterface } from "node:readline";

const [, , endpoint = ""] = process.argv;
for await (const line of createInterface(process.stdin)) {
  const { path, body } = JSON.parse(line) as { readonly path: string; readonly body: object | null };
  const request = body === null ? {} : { method: "POST", body: JSON.stringify(body) };
  const { ok, text } = await fetch(endpoint + path, request)
    .then(async (response) => ({ ok: response.ok, text: await response.text() }))
    .catch((error: unknown) => ({ ok: false, text: String(error) }));
  console.log(JSON.stringify({ ok, text, at: performance.timeOrigin + performance.now() }));
}
