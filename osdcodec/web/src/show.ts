// A decoded picture on a canvas.

import type { Handle } from "./client";
import type { Info } from "./container";
import type { Options } from "./decoder";
import type { Progress } from "./protocol";

/** The picture for a screen: where it has colours of its own (section i), the browser converts them, as it does for a PNG. */
export async function shown(handle: Handle, facts: Info, options: Options, progress?: (progress: Progress) => void): Promise<ImageData | ImageBitmap> {
  if (!("i" in facts.sections)) return handle.picture(options, progress);
  const png = await handle.png(options);
  return createImageBitmap(png).catch(() => handle.picture(options)); // a broken profile
}

export function draw(canvas: HTMLCanvasElement, image: ImageData | ImageBitmap): void {
  [canvas.width, canvas.height] = [image.width, image.height];
  const context = canvas.getContext("2d")!;
  if (image instanceof ImageData) context.putImageData(image, 0, 0);
  else context.drawImage(image, 0, 0);
}
