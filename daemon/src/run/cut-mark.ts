import { AntennaError, type Logger } from "@antenna/sdk";
import type { OwnerRule, Platform } from "./platform.js";

/**
 * Rejects with `busy`, naming the rule, when somebody else keeps something in the bit that marks cut flows: both would
 * then read what the other wrote. Rules that can't be read are no reason not to enforce.
 */
export async function demandFreeMark(
  platform: Platform,
  options: { readonly namespace: string | null; readonly cutMark: number; readonly logger: Logger },
): Promise<void> {
  const { namespace, cutMark, logger } = options;
  let rules: readonly OwnerRule[];
  try {
    const found = await platform.ownerRules(namespace);
    rules = found.rules;
    if (found.unread.length > 0) {
      logger.warn({ programs: found.unread }, "only uid 0 may read these rules: they may use cutMark");
    }
  } catch (reason) {
    logger.warn({ err: reason }, "the owner's rules can't be read: whether cutMark is free is not known");
    return;
  }
  const [user, ...more] = platform.markUsers(rules, cutMark);
  if (user === undefined) return;
  const others = more.length === 0 ? "" : ` and ${more.length} more`;
  throw new AntennaError({
    code: "busy",
    operation: `use the connection mark 0x${cutMark.toString(16)}`,
    message: `${user.program} table ${user.table} uses this bit in \`${user.text}\`${others}; set kernel.cutMark to a bit that is free`,
  });
}
