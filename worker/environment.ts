export type Environment = Readonly<Record<string, string | undefined>>

const SECRET_NAME = /KEY|SECRET|TOKEN|PASSWORD/i

/** Where things lie and what language they speak: executors name these too, and nobody has to hide them. */
const PLAIN_NAME = /^(PATH|HOME|USER|LANG|TZ|TMPDIR)$|_(PATH|HOME|DIR)$/

/** Shorter values occur in ordinary text; masking them would hide what it says and protect nothing. */
const SHORTEST_SECRET = 6

/** The variables that the given names stand for; a trailing `*` stands for the rest of a name. */
export function pickEnv(env: Environment, names: readonly string[]): Record<string, string> {
  const picked: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && names.some((wanted) => covers(wanted, name))) picked[name] = value
  }
  return picked
}

function covers(wanted: string, name: string): boolean {
  return wanted.endsWith('*') ? name.startsWith(wanted.slice(0, -1)) : name === wanted
}

/**
 * Values that must never be seen: of variables whose names say so, of those that executors name (save `PATH` and the like), and
 * the passwords inside addresses such as `DATABASE_URL`.
 */
export function secretsOf(env: Environment, namedByExecutors: readonly string[]): string[] {
  const named = Object.entries(pickEnv(env, namedByExecutors)).flatMap(([name, value]) =>
    PLAIN_NAME.test(name) ? [] : [value],
  )
  const telling = Object.entries(env).flatMap(([name, value]) =>
    value && SECRET_NAME.test(name) ? [value] : [],
  )
  const passwords = Object.values(env).flatMap(passwordsIn)
  const secrets = [...named, ...telling, ...passwords].map((secret) => secret.trim())
  return [...new Set(secrets)].filter((secret) => secret.length >= SHORTEST_SECRET)
}

function passwordsIn(value: string | undefined): string[] {
  if (!value?.includes('@') || !URL.canParse(value)) return []
  const { password } = new URL(value)
  return [password, decoded(password)]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
