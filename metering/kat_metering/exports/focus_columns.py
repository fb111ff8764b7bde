"""The columns of FOCUS 1.2, cost and usage, that an export has: every mandatory one, and the conditional ones that apply.

https://focus.finops.org/focus-specification/v1-2/
"""

from __future__ import annotations

from typing import Final

from kat_metering.exports.columns import Kind

FOCUS_COLUMNS: Final[dict[str, Kind]] = {
    "BilledCost": Kind.AMOUNT,
    "BillingAccountId": Kind.TEXT,
    "BillingAccountName": Kind.TEXT,
    "BillingAccountType": Kind.TEXT,
    "BillingCurrency": Kind.TEXT,
    "BillingPeriodEnd": Kind.MOMENT,
    "BillingPeriodStart": Kind.MOMENT,
    "ChargeCategory": Kind.TEXT,
    "ChargeClass": Kind.TEXT,
    "ChargeDescription": Kind.TEXT,
    "ChargeFrequency": Kind.TEXT,
    "ChargePeriodEnd": Kind.MOMENT,
    "ChargePeriodStart": Kind.MOMENT,
    "CommitmentDiscountStatus": Kind.TEXT,
    "ConsumedQuantity": Kind.AMOUNT,
    "ConsumedUnit": Kind.TEXT,
    "ContractedCost": Kind.AMOUNT,
    "ContractedUnitPrice": Kind.AMOUNT,
    "EffectiveCost": Kind.AMOUNT,
    "InvoiceId": Kind.TEXT,
    "InvoiceIssuerName": Kind.TEXT,
    "ListCost": Kind.AMOUNT,
    "ListUnitPrice": Kind.AMOUNT,
    "PricingCategory": Kind.TEXT,
    "PricingCurrency": Kind.TEXT,
    "PricingCurrencyContractedUnitPrice": Kind.AMOUNT,
    "PricingCurrencyEffectiveCost": Kind.AMOUNT,
    "PricingCurrencyListUnitPrice": Kind.AMOUNT,
    "PricingQuantity": Kind.AMOUNT,
    "PricingUnit": Kind.TEXT,
    "ProviderName": Kind.TEXT,
    "PublisherName": Kind.TEXT,
    "ResourceId": Kind.TEXT,
    "ResourceName": Kind.TEXT,
    "ResourceType": Kind.TEXT,
    "ServiceCategory": Kind.TEXT,
    "ServiceName": Kind.TEXT,
    "ServiceSubcategory": Kind.TEXT,
    "SkuId": Kind.TEXT,
    "SkuMeter": Kind.TEXT,
    "SkuPriceDetails": Kind.TEXT,
    "SkuPriceId": Kind.TEXT,
    "SubAccountId": Kind.TEXT,
    "SubAccountName": Kind.TEXT,
    "SubAccountType": Kind.TEXT,
    "Tags": Kind.TEXT,
    "x_Model": Kind.TEXT,
    "x_Mode": Kind.TEXT,
    "x_Segment": Kind.TEXT,
    "x_RequestCount": Kind.COUNT,
    "x_EngineSeconds": Kind.AMOUNT,
    "x_UnpricedTokens": Kind.COUNT,
    "x_PriceSource": Kind.TEXT,
    "x_BaselineModel": Kind.TEXT,
    "x_SavingsMethod": Kind.TEXT,
    "x_TokenBasis": Kind.TEXT,
    "x_ComparedCost": Kind.AMOUNT,
    "x_BaselineCost": Kind.AMOUNT,
    "x_Savings": Kind.AMOUNT,
}
"""In this order; our own come last, new ones at the end. Savings are estimates and are in no column of FOCUS itself."""
