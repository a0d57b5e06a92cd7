import type { Health, Installation } from '../../engine/index.js'
import { broken, check, type Finding, listed, ok, type Verdict, warning } from './finding.js'

/** Whether program and database belong together. */
export function checkSchema(
  { schema_version, postgres_version }: Pick<Health, 'schema_version' | 'postgres_version'>,
  known: number,
): Finding[] {
  const postgres = Number.parseInt(postgres_version, 10)
  const verdicts = [
    schema_version === known ? ok(`schema ${schema_version} on Postgres ${postgres_version}`) : undefined,
    schema_version < known
      ? broken(
          `the database has schema ${schema_version}, this program needs ${known}`,
          'Run npm run migrate.',
        )
      : undefined,
    schema_version > known
      ? broken(
          `the database has schema ${schema_version}, this program knows ${known}`,
          'Update this program: its workers refuse to start.',
        )
      : undefined,
    postgres < 15
      ? broken(`Postgres ${postgres_version} is too old`, 'Upgrade it to 15 or newer.')
      : undefined,
  ]
  return check('schema', ...verdicts)
}

/** Roles, and who may do what. */
export function checkRights(facts: Installation): Finding[] {
  const { missing_roles, missing_rights, open_rights, unguarded_tables, read_only } = facts
  const reseal = 'Run select ops.seal() as the owner of the schema.'
  const troubles: (Verdict | undefined)[] = [
    missing_roles.length > 0
      ? broken(
          `there is no role ${listed(missing_roles)}`,
          'Run npm run migrate as a role that may create roles.',
        )
      : undefined,
    missing_rights.length > 0 ? broken(`a right is missing (${listed(missing_rights)})`, reseal) : undefined,
    open_rights.length > 0
      ? broken(`anybody with the public key may use ${listed(open_rights)}`, reseal)
      : undefined,
    unguarded_tables.length > 0
      ? broken(
          `row level security is off for ${listed(unguarded_tables)}`,
          `Run alter table ${unguarded_tables[0]} enable row level security.`,
        )
      : undefined,
    read_only
      ? broken('the database takes no writes', 'Name the primary in DATABASE_URL, not a replica.')
      : undefined,
  ]
  const found = check('rights', ...troubles)
  return found.length > 0
    ? found
    : check('rights', ok(`logged in as ${facts.login}; roles and grants are in place`))
}

/** How many connections are left. */
export function checkRoom({ connections: { used, most } }: Pick<Installation, 'connections'>): Finding[] {
  if (used < 0.8 * most) return check('connections', ok(`${used} of ${most} in use`))
  return check(
    'connections',
    warning(`${used} of ${most} are in use`, 'Let workers share a pooler, or raise max_connections.'),
  )
}
