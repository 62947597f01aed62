/** sd_notify: the datagrams that systemd is sent. */
import test from "ava";
import { createNotifier } from "../../src/observe/notify.js";

test("messages are the assignments of sd_notify(3)", (t) => {
  const sent: [path: string, text: string][] = [];
  const send = (path: string, data: Uint8Array) => void sent.push([path, Buffer.from(data).toString()]);
  const notifier = createNotifier(send, "@notify", (error) => t.fail(error.message));
  notifier.status("waiting\nREADY=1");
  notifier.ready("2 peers");
  notifier.reloading();
  notifier.stopping();
  t.deepEqual(
    sent.map(([path]) => path),
    Array<string>(4).fill("@notify"),
  );
  const texts = sent.map(([, text]) => text);
  t.is(texts[0], "STATUS=waiting READY=1", "a text cannot add an assignment");
  t.is(texts[1], "READY=1\nSTATUS=2 peers");
  t.regex(texts[2] ?? "", /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  t.is(texts[3], "STOPPING=1");
});

test("without NOTIFY_SOCKET nothing is sent, and a failed message does not throw", (t) => {
  const errors: string[] = [];
  const send = () => {
    throw new Error("ECONNREFUSED");
  };
  for (const socket of [null, ""])
    createNotifier(send, socket, (error) => errors.push(error.message)).stopping();
  t.deepEqual(errors, []);
  const notifier = createNotifier(send, "/run/notify", (error) => errors.push(error.message));
  notifier.alive();
  notifier.stopping();
  t.deepEqual(errors, ["ECONNREFUSED"], "the first one in a row");
});
