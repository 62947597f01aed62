/** What the demo prints: steps with their time, colour and a line in progress on a terminal, plain lines elsewhere. */

const terminal = process.stdout.isTTY;
const colour = terminal && process.env.NO_COLOR === undefined;

function paint(code: number, text: string): string {
  return colour ? `\x1b[${code}m${text}\x1b[0m` : text;
}

export const bold = (text: string): string => paint(1, text);
export const dim = (text: string): string => paint(2, text);
export const green = (text: string): string => paint(32, text);
export const red = (text: string): string => paint(31, text);

export function print(text = ""): void {
  process.stdout.write(`${text}\n`);
}

/** Does one step of the demo under its name; what the step returns as text is shown beside it. */
export async function step<T>(
  name: string,
  work: () => Promise<T>,
  tell: (value: T) => string = () => "",
): Promise<T> {
  const begin = performance.now();
  if (terminal) process.stdout.write(dim(`  … ${name}`));
  const line = (mark: string, note: string): void => {
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    print(
      `${terminal ? "\r\x1b[K" : ""}  ${mark} ${name.padEnd(38)} ${dim(`${seconds.padStart(5)} s`)}  ${note}`.trimEnd(),
    );
  };
  try {
    const value = await work();
    line(green("✓"), tell(value));
    return value;
  } catch (error) {
    line(red("✗"), "");
    throw error;
  }
}
