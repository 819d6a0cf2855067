// What a page and its worker say to each other.

import type { Options } from "./decoder";

export type Request =
  | { call: "open"; id: number; data: Uint8Array; maxPixels?: number; partial?: boolean }
  | { call: "preview" | "picture" | "png" | "trust"; id: number; options: Options }
  | { call: "close"; id: number };

export type Numbered = Request & { number: number };

export interface Reply {
  number: number;
  progress?: Progress;
  value?: unknown;
  error?: { name: string; message: string };
}

export interface Progress {
  stage: "weights" | "picture";
  share: number; // 0 .. 1
}
