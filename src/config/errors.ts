/** Errors that end in an exit code, and the codes. The message says what is wrong, where, and what to do. */

export const EXIT_OK = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;
export const EXIT_NOT_RUNNING = 3;
/** The daemon ended because it was told to leave the network: systemd is not to start it again. */
export const EXIT_LEFT = 4;

/** An expected failure: printed as one line without a stack, then the process ends with `exitCode`. */
export class WeftError extends Error {
  override readonly name: string = "WeftError";
  constructor(
    message: string,
    readonly exitCode: number = EXIT_FAILED,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A setting is wrong: a flag, a variable, a line of a file or the network config. */
export class ConfigError extends WeftError {
  override readonly name = "ConfigError";
  constructor(message: string, options?: ErrorOptions) {
    super(message, EXIT_USAGE, options);
  }
}
