/** `weft restart`: a new process of weftd takes over from the running one. It is the unit's way to reload. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { EXIT_OK, WeftError } from "../config/errors.js";
import type { Command } from "./command.js";

const PATIENCE_MS = 60_000;
/**
 * The service manager does not start a service that ended while it waits for this command, and the new process cannot do
 * without the one before: so often it is looked whether that still runs.
 */
const LOOK_MS = 20;
const GOES_ON = "the one that ran before goes on";
const weftdFile = fileURLToPath(new URL("../weftd.cjs", import.meta.url));

/**
 * The shell ends at once, so that the new weftd is a child of the service manager before it says that it is the main
 * process: of one that is not, systemd does not notice the end, nor does it wait for it before it kills what is left.
 */
const IN_BACKGROUND = '"$0" "$@" &';

export const restart: Command = {
  name: "restart",
  usage: "[any flag of weftd]",
  summary: "replace the running daemon by a new process, without losing a packet",
  help: `Starts weftd --replace in the background, with this command's environment, and returns when it
carries packets. For updates, and for settings that need a restart. When the new process fails, its
log says why, and the running one goes on as before. Where weftd is a service, this is for its unit:
use systemctl reload weftd.
`,
  run(args) {
    // systemd tells the commands of a reload whom they are to reload (systemd.service(5)).
    const { MAINPID } = process.env;
    const weftd = spawn("/bin/sh", ["-c", IN_BACKGROUND, process.execPath, weftdFile, "--replace", ...args], {
      detached: true,
      // Node's channel to a child passes through the shell.
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    return new Promise((resolve, reject) => {
      let takenOver = false;
      const end = (how: string | null): void => {
        clearTimeout(late);
        clearInterval(look);
        if (how === null) resolve(EXIT_OK);
        else reject(new WeftError(how));
        // Without us, who has not taken over ends.
        if (weftd.connected) weftd.disconnect();
      };
      const late = setTimeout(
        () => end(`the new weftd did not take over within ${PATIENCE_MS / 1000} s; ${GOES_ON}`),
        PATIENCE_MS,
      );
      const look = setInterval(() => {
        if (MAINPID === undefined || runs(Number(MAINPID))) return;
        // What the new one has said by now is heard first.
        setImmediate(() => !takenOver && end("the weftd that ran ended meanwhile: it is started again"));
      }, LOOK_MS);
      weftd.once("error", ({ message }) => end(`cannot start another weftd: ${message}`));
      weftd.on("message", (word) => {
        takenOver = true;
        if (word === "carrying") end(null);
      });
      weftd.once("disconnect", () => end(`the new weftd ended; ${GOES_ON}`));
    });
  },
};

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
