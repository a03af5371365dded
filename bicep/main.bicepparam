using 'main.bicep'

param location = 'northeurope'

param protectedRegions = ['westeurope']

param targets = [
  {
    region: 'uksouth'
    resourceGroup: 'drkit-target-uks'
  }
]

param alertEmails = ['oncall@contoso.example']

param alertRegionNames = ['West Europe', 'UK South']
