/** TLS in both directions, and password with its tokens, against a real etcd. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { type ExecutionContext } from "ava";
import { pino } from "pino";
import { EtcdRegistry } from "../../src/etcd/registry.js";
import { startEtcd } from "../support/etcd.js";
import {
  forever,
  joinNetwork,
  openRegistry,
  options,
  PREFIX,
  sees,
  UDP,
  withConfig,
} from "../support/etcd-nodes.js";
import { run, temporaryDirectory, until } from "../support/process.js";

/** A certificate authority, and one certificate for 127.0.0.1 that serves both ends. */
async function certificates(t: ExecutionContext): Promise<{ ca: string; cert: string; key: string }> {
  const directory = await temporaryDirectory(t.teardown);
  const file = (name: string): string => join(directory, name);
  const openssl = (line: string): Promise<string> => run("openssl", line.split(" "));
  const newKey = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  await openssl(
    `req -x509 ${newKey} -keyout ${file("ca.key")} -out ${file("ca.pem")} -days 2 -subj /CN=test-ca`,
  );
  await openssl(`req -new ${newKey} -keyout ${file("key.pem")} -out ${file("csr.pem")} -subj /CN=node`);
  await writeFile(file("ext"), "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n");
  await openssl(
    `x509 -req -in ${file("csr.pem")} -CA ${file("ca.pem")} -CAkey ${file("ca.key")} -CAcreateserial -days 2 ` +
      `-extfile ${file("ext")} -out ${file("cert.pem")}`,
  );
  return { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem") };
}

test("a client certificate opens an etcd that demands one, and only then", async (t) => {
  const tls = await certificates(t);
  const etcd = await startEtcd(t.teardown, { tls: { ...tls, clientAuth: true } });
  await etcd.put(`${PREFIX}/config`, UDP);
  const withCertificate = options(etcd, { caFile: tls.ca, certFile: tls.cert, keyFile: tls.key });
  const node = await joinNetwork(t, withCertificate, "10.99.0.1");
  t.true(node.registry.status().connected);
  const without = openRegistry(t, options(etcd, { caFile: tls.ca }));
  const waiting = without.networkConfig(AbortSignal.timeout(60_000));
  await until("the refusal", () => without.status().problem);
  t.false(without.status().connected);
  await without.close();
  await t.throwsAsync(waiting, { message: /closed/ });
});

test("a CA alone is honoured, and a server that it did not sign is refused", async (t) => {
  const [tls, other] = [await certificates(t), await certificates(t)];
  const etcd = await startEtcd(t.teardown, { tls: { ...tls, clientAuth: false } });
  await etcd.put(`${PREFIX}/config`, UDP);
  const node = await joinNetwork(t, options(etcd, { caFile: tls.ca }), "10.99.0.1");
  t.true(node.registry.status().connected);
  const wary = openRegistry(t, options(etcd, { caFile: other.ca }));
  const waiting = wary.networkConfig(forever);
  await until("the refusal", () => (/certificate/.test(wary.status().problem ?? "") ? true : null));
  await wary.close();
  await t.throwsAsync(waiting, { message: /closed/ });
});

test("TLS files that cannot be read are a wrong setting", (t) => {
  const wrong = options({ endpoint: "https://127.0.0.1:1" }, { caFile: "/nonexistent/ca.pem" });
  t.throws(() => new EtcdRegistry(wrong, 60, pino({ level: "silent" })), {
    name: "ConfigError",
    message: /\/nonexistent\/ca\.pem/,
  });
});

test("a password logs in, again when its token is lost, and a wrong one is reported", async (t) => {
  const etcd = await withConfig(t);
  const user = async (name: string, password: string): Promise<void> => {
    await etcd.ctl("user", "add", `${name}:${password}`);
  };
  await user("root", "root-word");
  await etcd.ctl("user", "grant-role", "root", "root");
  await user("weft", "secret");
  await etcd.ctl("role", "add", "network");
  await etcd.ctl("role", "grant-permission", "network", "--prefix=true", "readwrite", PREFIX);
  await etcd.ctl("user", "grant-role", "weft", "network");
  const asWeft = options(etcd, { username: "weft", password: "secret" });
  const early = await joinNetwork(t, asWeft, "10.99.0.2");
  await etcd.ctl("auth", "enable");

  const node = await joinNetwork(t, asWeft, "10.99.0.1");
  const wrong = openRegistry(t, options(etcd, { username: "weft", password: "guess" }));
  const waiting = wrong.networkConfig(forever);
  await until("the refusal", () =>
    /authentication failed/.test(wrong.status().problem ?? "") ? true : null,
  );
  await wrong.close();
  await t.throwsAsync(waiting, { message: /closed/ });

  // etcd forgets its tokens with its process.
  await etcd.stop();
  await etcd.start();
  await etcd.ctl(
    "--user=root:root-word",
    "put",
    `${PREFIX}/subnets/10.5.200.0-24`,
    '{"PublicIP":"10.99.0.3"}',
  );
  await sees(node, early.lease.key, "10.5.200.0-24");
  t.is(node.registry.status().problem, null);
});
