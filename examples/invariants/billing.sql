-- Checks of a billing database: psql "$DATABASE_URL" -f examples/invariants/billing.sql
--
-- Each is added to policy `invariants`, versioned and audited like any other change; running the file again changes nothing. Adapt the
-- names of tables and columns to yours. Checks run as ops_monitor, which has to be let in to every table that they name:
--
--   grant select on invoices, invoice_line_items, jobs, customers, revenue to ops_monitor;
--   create policy ops_monitor_reads on invoices for select to ops_monitor using (true);   -- where row level security is on

select ops_define_check('orphaned_invoices', 'high', 'Invoices that belong to no tenant', $$
  select id, format('invoice %s has no tenant', id) as message from invoices where tenant_id is null
$$);

select ops_define_check('cross_tenant_mismatch', 'critical', 'Jobs linked to another tenant''s customer', $$
  select j.id, format('job %s of tenant %s is linked to a customer of tenant %s', j.id, j.tenant_id, c.tenant_id) as message
  from jobs j join customers c on c.id = j.customer_id where c.tenant_id is distinct from j.tenant_id
$$);

select ops_define_check('invoice_line_item_mismatch', 'high', 'Invoices whose total is not the sum of their lines', $$
  select i.id, format('invoice %s says %s, its lines add up to %s', i.id, i.total, coalesce(sum(l.amount), 0)) as message
  from invoices i left join invoice_line_items l on l.invoice_id = i.id
  group by i.id, i.total having i.total is distinct from coalesce(sum(l.amount), 0)
$$);

select ops_define_check('negative_invoices', 'high', 'Invoices with a negative amount', $$
  select id, format('invoice %s is over %s', id, total) as message from invoices where total < 0
$$);

select ops_define_check('revenue_demo_flag_missing', 'warning', 'Revenue that does not say whether it is a demo', $$
  select id, format('revenue %s has no is_demo', id) as message from revenue where is_demo is null
$$);
