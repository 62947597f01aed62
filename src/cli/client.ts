/** Asks the running daemon over its admin socket. */
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { ConfigError, EXIT_NOT_RUNNING, WeftError } from "../config/errors.js";
import { adminSocket } from "../config/options.js";

/** The daemon answers from memory: one that takes longer is stuck. */
const TIMEOUT_MS = 5000;

/** Resolves with the parsed JSON answer; rejects with a WeftError that says what to do. */
export async function ask(
  runDir: string,
  method: "GET" | "PUT" | "DELETE",
  path: string,
  body: object | null = null,
  timeoutMs = TIMEOUT_MS,
): Promise<unknown> {
  const payload = body === null ? "" : JSON.stringify(body);
  const response = await open(runDir, method, path, payload, timeoutMs);
  return JSON.parse(await text(response)) as unknown;
}

/** Sends a request and resolves with the answer once it has begun and is no refusal; errors are WeftErrors. */
export async function open(
  runDir: string,
  method: string,
  path: string,
  payload = "",
  timeoutMs = TIMEOUT_MS,
): Promise<IncomingMessage> {
  const socketPath = adminSocket(runDir);
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const sent = request({
      socketPath,
      method,
      path,
      // A connection of its own: a kept one may have been closed by the daemon meanwhile.
      agent: false,
      headers: { "content-length": Buffer.byteLength(payload) },
    });
    sent.on("response", (response) => {
      sent.setTimeout(0);
      resolve(response);
    });
    sent.on("error", reject);
    sent.setTimeout(timeoutMs, () =>
      sent.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })),
    );
    sent.end(payload);
  }).catch((error: unknown) => {
    throw explain(error as NodeJS.ErrnoException, socketPath);
  });
  if (response.statusCode === 200) return response;
  const answer = (await text(response)).trim();
  throw response.statusCode === 400 ? new ConfigError(answer) : new WeftError(`weftd refused: ${answer}`);
}

function explain(error: NodeJS.ErrnoException, socketPath: string): WeftError {
  const cause = { cause: error };
  switch (error.code) {
    case "ENOENT":
    case "ECONNREFUSED":
      return new WeftError(
        `weftd is not running: nothing answers on ${socketPath}; start it with 'systemctl start weftd', ` +
          "'weftd' or 'weft up --file peers.yaml', or say with --run-dir where it runs",
        EXIT_NOT_RUNNING,
        cause,
      );
    case "EACCES":
      return new WeftError(
        `only root may talk to weftd on ${socketPath}: try again as root`,
        undefined,
        cause,
      );
    case "ETIMEDOUT":
      return new WeftError(`weftd does not answer on ${socketPath}: see its log`, undefined, cause);
    default:
      return new WeftError(`cannot talk to weftd on ${socketPath}: ${error.message}`, undefined, cause);
  }
}
