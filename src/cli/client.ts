/** Asks the running daemon over its admin socket. */
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { EXIT_NOT_RUNNING, WeftError } from "../config/errors.js";
import { adminSocket } from "../config/options.js";

/** The daemon answers from memory: one that takes longer is stuck. */
const TIMEOUT_MS = 5000;

/** Resolves with the parsed JSON answer; rejects with a WeftError that says what to do. */
export async function ask(
  runDir: string,
  method: "GET" | "PUT",
  path: string,
  body: object | null = null,
): Promise<unknown> {
  const socketPath = adminSocket(runDir);
  const payload = body === null ? "" : JSON.stringify(body);
  const [status, answer] = await new Promise<[number, string]>((resolve, reject) => {
    const sent = request({
      socketPath,
      method,
      path,
      // A connection of its own: a kept one may have been closed by the daemon meanwhile.
      agent: false,
      headers: { "content-length": Buffer.byteLength(payload) },
    });
    sent.on("response", (response) => {
      text(response).then((received) => resolve([response.statusCode ?? 0, received]), reject);
    });
    sent.on("error", reject);
    sent.setTimeout(TIMEOUT_MS, () =>
      sent.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })),
    );
    sent.end(payload);
  }).catch((error: unknown) => {
    throw explain(error as NodeJS.ErrnoException, socketPath);
  });
  if (status !== 200) throw new WeftError(`weftd refused: ${answer.trim()}`);
  return JSON.parse(answer) as unknown;
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
      return new WeftError(`weftd has not answered on ${socketPath} for 5 s: see its log`, undefined, cause);
    default:
      return new WeftError(`cannot talk to weftd on ${socketPath}: ${error.message}`, undefined, cause);
  }
}
