import postgres from 'postgres'

/** The cluster's superuser. As on Supabase, neither operators nor migrations log in as it. */
export const superuser = 'supabase_admin'

/** The role that owns the database and runs migrations: as on Supabase, no superuser. */
export const owner = 'postgres'

/** The role that PostgREST logs in as; it may only become another. */
export const authenticator = 'authenticator'

/**
 * Makes a plain cluster look like a Supabase project to whatever connects to it: the same roles, and in the database of the
 * URL the same ownership and default grants. Repeating it changes nothing; two at once on the
 * same database are harmless.
 *
 * @param adminUrl a database to which the superuser logs in
 * @param password of the login roles `postgres` and `authenticator`
 */
export async function ensureSupabaseRoles(adminUrl: string, password: string): Promise<void> {
  const sql = postgres(adminUrl, { max: 1, onnotice: () => undefined })
  try {
    await sql.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(hashtext('ops-loop:roles'))`
      await tx.unsafe(rolesSql)
      await tx.unsafe(`alter role ${owner} password ${literal(password)}`)
      await tx.unsafe(`alter role ${authenticator} password ${literal(password)}`)
      await tx.unsafe(databaseSql)
    })
  } finally {
    await sql.end()
  }
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

const rolesSql = `
do $$
declare
  v_role record;
begin
  for v_role in
    select * from (values
      ('postgres',      'login createdb createrole replication bypassrls'),
      ('anon',          'nologin noinherit'),
      ('authenticated', 'nologin noinherit'),
      ('service_role',  'nologin noinherit bypassrls'),
      ('authenticator', 'login noinherit')
    ) as wanted (name, attributes)
    where not exists (select from pg_catalog.pg_roles where rolname = wanted.name)
  loop
    begin
      execute format('create role %I %s', v_role.name, v_role.attributes);
    exception
      when duplicate_object or unique_violation then
        null;
    end;
  end loop;
end
$$;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;
`

const databaseSql = `
do $$
begin
  execute format('alter database %I owner to postgres', current_database());
end
$$;

grant usage on schema public to postgres, anon, authenticated, service_role;
${['postgres', 'supabase_admin']
  .flatMap((creator) =>
    ['tables', 'functions', 'sequences'].map(
      (kind) =>
        `alter default privileges for role ${creator} in schema public grant all on ${kind} to postgres, anon, authenticated, service_role;`,
    ),
  )
  .join('\n')}
`
