/** What the test run's setup and the test files agree on. */

/** Begins the names of the folders that test runs make in the system's temporary folder; the run's process id follows. */
export const testFolderPrefix = 'ops-loop-test-'

/** Migrated and seeded. */
export const templateDatabase = 'ops_template'

/** As a new Supabase project. */
export const emptyDatabase = 'ops_empty'

/** The engine's roles have no login of their own; each test login is a member of one of them. */
export const loginRoles = {
  service_role: 'test_service',
  ops_worker: 'test_worker',
  ops_operator: 'test_operator',
  ops_readonly: 'test_readonly',
} as const

export type EngineRole = keyof typeof loginRoles
