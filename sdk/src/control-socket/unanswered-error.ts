/** Nobody answers on the control socket: exit code 4. */
export class UnansweredError extends Error {
  override readonly name = "UnansweredError";
}
