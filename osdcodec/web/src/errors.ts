// What a decoder refuses, in one line that says what, and where.

export class OsdError extends Error {
  override name = "OsdError";
}

/** The bytes are not a valid .osd file: `field` as spec/osd-1.md calls it, and its first byte where it has one. */
export class FormatError extends OsdError {
  override name = "FormatError";
  constructor(
    readonly what: string,
    readonly field: string,
    readonly offset?: number,
  ) {
    super(`${field}${offset === undefined ? "" : ` at byte ${offset}`}: ${what}`);
  }
}

/** The weights are not those listed, or not those that the file names. */
export class WeightsError extends OsdError {
  override name = "WeightsError";
}
