metadata name = 'Types of drkit'
metadata description = 'Shapes that parameters of several modules share.'

@export()
@description('A region to move to, and the resource group that stands ready there.')
type target = {
  @description('Required. The region, by its short name.')
  region: string

  @description('Required. The resource group to make there.')
  resourceGroup: string

  @description('Optional. Object ids of people and groups that use what is moved there, granted Reader on the group beforehand.')
  users: string[]?
}

@export()
@description('A service connection of Azure Pipelines that signs in by workload identity federation.')
type connection = {
  @description('Required. The role its identity is granted.')
  role: 'planner' | 'prober' | 'operator' | 'responder' | 'approver'

  @description('Required. The issuer, copied from the service connection.')
  issuer: string

  @description('Required. The subject, copied from the service connection.')
  subject: string
}

@export()
@description('Somebody who is granted a role of drkit.')
type grant = {
  @description('Required. The role.')
  role: 'planner' | 'prober' | 'operator' | 'responder' | 'approver' | 'group-creator'

  @description('Required. The object id of the person, group or identity.')
  principalId: string

  @description('Required. What kind of principal it is.')
  principalType: 'User' | 'Group' | 'ServicePrincipal'
}

@export()
@description('Tags of a resource.')
type tags = {
  @description('Optional. A tag.')
  *: string
}

@export()
@description('Ids by a name.')
type ids = {
  @description('Optional. An id.')
  *: string
}

@export()
@description('An identity that was made, and its role.')
type identity = {
  @description('Required. The role.')
  role: string

  @description('Required. Its object id.')
  principalId: string

  @description('Required. Its client id, for drkit.toml and the service connection.')
  clientId: string
}

@export()
@description('A role definition that holds on one container.')
type dataDefinition = {
  @description('Required. The role.')
  role: string

  @description('Required. The container.')
  container: string

  @description('Required. The id of the definition.')
  id: string

  @description('Required. What the names of blobs must begin with that it writes; empty: any blob.')
  path: string
}
