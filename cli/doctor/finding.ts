/** What a check came to. `broken`: something does not work, or is not safe. `warning`: it works, and will not for long. */
export interface Finding {
  check: string
  status: 'ok' | 'warning' | 'broken'
  message: string
  /** The way to mend it. */
  hint?: string
}

export type Verdict = Omit<Finding, 'check'>

export const ok = (message: string): Verdict => ({ status: 'ok', message })
export const warning = (message: string, hint: string): Verdict => ({ status: 'warning', message, hint })
export const broken = (message: string, hint: string): Verdict => ({ status: 'broken', message, hint })

/** The verdicts of one check; a check that finds nothing to say says that. */
export function check(name: string, ...verdicts: (Verdict | undefined)[]): Finding[] {
  return verdicts.flatMap((verdict) => (verdict === undefined ? [] : [{ check: name, ...verdict }]))
}

/** `a, b, c and 4 more` */
export function listed(items: readonly string[], most = 3): string {
  const shown = items.slice(0, most).join(', ')
  return items.length > most ? `${shown} and ${items.length - most} more` : shown
}
