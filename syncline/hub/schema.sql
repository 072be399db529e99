-- The shipped hub: companies, their customers, and the addresses of both. A company with a schema of its own
-- describes that in pipelines.yaml instead and leaves this file alone.
CREATE SCHEMA IF NOT EXISTS hub;

CREATE TABLE IF NOT EXISTS hub.companies (
    id             uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    salesforce_id  text UNIQUE,
    name           text NOT NULL,
    account_number text,
    description    text,
    fax            text,
    phone          text,
    website        text,
    parent_id      uuid REFERENCES hub.companies,
    tier           text
);
CREATE INDEX IF NOT EXISTS companies_parent ON hub.companies (parent_id);
CREATE INDEX IF NOT EXISTS companies_account_number ON hub.companies (lower(btrim(account_number)));
CREATE INDEX IF NOT EXISTS companies_name ON hub.companies (lower(btrim(name)));

CREATE TABLE IF NOT EXISTS hub.customers (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    salesforce_id text UNIQUE,
    company_id    uuid REFERENCES hub.companies,
    first_name    text,
    last_name     text NOT NULL,
    email         text,
    phone         text,
    title         text,
    segment       text
);
CREATE INDEX IF NOT EXISTS customers_company ON hub.customers (company_id);
CREATE INDEX IF NOT EXISTS customers_email ON hub.customers (lower(btrim(email)));

-- Any number of addresses; of each kind one may be primary, and that is the one that is synced.
CREATE TABLE IF NOT EXISTS hub.addresses (
    id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    company_id  uuid REFERENCES hub.companies ON DELETE CASCADE,
    customer_id uuid REFERENCES hub.customers ON DELETE CASCADE,
    kind        text NOT NULL DEFAULT 'shipping' CHECK (kind IN ('billing', 'shipping', 'other')),
    is_primary  boolean NOT NULL DEFAULT false,
    street      text,
    city        text,
    state       text,
    postal_code text,
    country     text,
    CHECK (num_nonnulls(company_id, customer_id) = 1)
);
CREATE UNIQUE INDEX IF NOT EXISTS addresses_company_primary ON hub.addresses (company_id, kind) WHERE is_primary;
CREATE UNIQUE INDEX IF NOT EXISTS addresses_customer_primary ON hub.addresses (customer_id, kind) WHERE is_primary;
CREATE INDEX IF NOT EXISTS addresses_company ON hub.addresses (company_id);
CREATE INDEX IF NOT EXISTS addresses_customer ON hub.addresses (customer_id);
