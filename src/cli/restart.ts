/** `weft restart`: a new process of weftd takes over from the running one. It is the unit's way to reload. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { EXIT_OK, WeftError } from "../config/errors.js";
import type { Command } from "./command.js";

const PATIENCE_MS = 60_000;
const weftdFile = fileURLToPath(new URL("../weftd.js", import.meta.url));

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
log says why, and the running one goes on as before.
`,
  run(args) {
    const weftd = spawn("/bin/sh", ["-c", IN_BACKGROUND, process.execPath, weftdFile, "--replace", ...args], {
      detached: true,
      // Node's channel to a child passes through the shell.
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    return new Promise((resolve, reject) => {
      const fail = (how: string): void => {
        reject(new WeftError(`the new weftd ${how}; the one that ran before goes on`));
      };
      // Without us, who does not carry packets yet ends.
      const late = setTimeout(() => {
        fail(`did not take over within ${PATIENCE_MS / 1000} s`);
        weftd.disconnect();
      }, PATIENCE_MS);
      weftd.once("error", reject);
      weftd.once("message", () => {
        resolve(EXIT_OK);
        weftd.disconnect();
      });
      weftd.once("disconnect", () => {
        clearTimeout(late);
        fail("ended");
      });
    });
  },
};
