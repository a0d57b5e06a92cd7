/** The example pack of checks, as an operator runs it: each finds its planted row and is silent once that is mended. */
import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { openDatabase } from './world.js'

test('the checks of a billing database find what they are for, and nothing else', async () => {
  const { sql } = await openDatabase()
  await sql.unsafe(`
    create table customers (id int primary key, tenant_id int);
    create table jobs (id int primary key, tenant_id int, customer_id int);
    create table invoices (id int primary key, tenant_id int, total numeric);
    create table invoice_line_items (invoice_id int, amount numeric);
    create table revenue (id int primary key, is_demo boolean);
    grant select on invoices, invoice_line_items, jobs, customers, revenue to ops_monitor;
    insert into customers values (1, 1), (2, 2);
    insert into jobs values (1, 1, 1), (2, 1, 2);
    insert into invoices values (1, 1, 5), (2, null, 0), (3, 1, 7), (4, 1, -1);
    insert into invoice_line_items values (1, 2), (1, 3), (3, 6), (4, -1);
    insert into revenue values (1, false), (2, null);`)
  const pack = await readFile(new URL('../../examples/invariants/billing.sql', import.meta.url), 'utf8')
  await sql.unsafe(pack)
  await sql.unsafe(pack)
  const names = [
    'cross_tenant_mismatch',
    'invoice_line_item_mismatch',
    'negative_invoices',
    'orphaned_invoices',
    'revenue_demo_flag_missing',
  ]
  await sql`select * from ops_run_checks(${names})`
  const found = await sql`
    select check_name, subject from invariant_violations where not resolved order by check_name, subject`
  expect(found.map(({ check_name, subject }) => `${check_name} ${subject}`)).toEqual([
    'cross_tenant_mismatch 2',
    'invoice_line_item_mismatch 3',
    'negative_invoices 4',
    'orphaned_invoices 2',
    'revenue_demo_flag_missing 2',
  ])
  await sql.unsafe(`
    update jobs set customer_id = 1; update invoices set total = 6 where id = 3; delete from invoices where id in (2, 4);
    update revenue set is_demo = true`)
  await sql`select * from ops_run_checks(${names})`
  expect([...(await sql`select from invariant_violations where not resolved`)]).toEqual([])
})
