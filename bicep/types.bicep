metadata name = 'Types of drkit'
metadata description = 'Types of the parameters that several modules share.'

@export()
@description('A region to move to, and the resource group to prepare there.')
type target = {
  @description('Required. The region, by its short name.')
  region: string

  @description('Required. The resource group to create there.')
  resourceGroup: string

  @description('Optional. Object ids of the people and groups that use what is moved there. They get the role Reader on the resource group beforehand.')
  users: string[]?
}

@export()
@description('A service connection of Azure Pipelines that signs in by workload identity federation.')
type connection = {
  @description('Required. The role to grant to its identity.')
  role: 'planner' | 'prober' | 'operator' | 'responder' | 'approver'

  @description('Required. The issuer, copied from the service connection.')
  issuer: string

  @description('Required. The subject, copied from the service connection.')
  subject: string
}

@export()
@description('A principal to grant one of drkit\'s roles to.')
type grant = {
  @description('Required. The role.')
  role: 'planner' | 'prober' | 'operator' | 'responder' | 'approver' | 'group-creator'

  @description('Required. The object id of the person, group or identity.')
  principalId: string

  @description('Required. The type of the principal.')
  principalType: 'User' | 'Group' | 'ServicePrincipal'
}

@export()
@description('Tags of a resource.')
type tags = {
  @description('Optional. A tag.')
  *: string
}

@export()
@description('Ids by name.')
type ids = {
  @description('Optional. An id.')
  *: string
}

@export()
@description('An identity that was created, and its role.')
type identity = {
  @description('Required. The role.')
  role: string

  @description('Required. Its object id.')
  principalId: string

  @description('Required. Its client id, for drkit.toml and the service connection.')
  clientId: string
}

@export()
@description('A role definition for one container.')
type dataDefinition = {
  @description('Required. The role.')
  role: string

  @description('Required. The container.')
  container: string

  @description('Required. The id of the definition.')
  id: string

  @description('Required. The prefix of the blobs that the role may write. If empty, all blobs.')
  path: string
}
