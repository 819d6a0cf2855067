/** Whether there is a GPU that WebGPU reaches, not a processor that plays one: that is slower than WebAssembly. */
export async function seesGpu(): Promise<boolean> {
  try {
    const adapter = await (navigator as any).gpu?.requestAdapter();
    return Boolean(adapter) && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
  } catch {
    return false;
  }
}
