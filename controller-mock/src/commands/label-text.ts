/** `app=shop role=web`, in the order of keys. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  const words = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
  return words.sort().join(" ") || "none";
}
